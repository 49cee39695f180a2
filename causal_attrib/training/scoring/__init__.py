"""What a completion is worth: rewards, and causal scores of the policy on its own words."""
