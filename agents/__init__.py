"""Who acts: presets of PPO and SAC, experts, discriminators to compare, and imitation runs."""
