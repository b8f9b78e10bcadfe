"""Fine-tuning: weights of both routes, for one's own forward model."""
