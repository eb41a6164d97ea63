"""Fine-tuning: how training data is divided, models are trained, and what comes of it is judged."""
