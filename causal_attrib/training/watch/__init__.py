"""What is watched while a run goes on: phases, early signs, the loss, sampled completions, memory."""
