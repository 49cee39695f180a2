"""What a run is told: its keys, their files, TRL's arguments, the method and its arithmetic."""
