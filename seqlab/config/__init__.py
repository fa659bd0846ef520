"""Configuration: Hydra and OmegaConf in, plain spec dataclasses out."""
