"""Pipelines of diffusers as providers: folders and hub ids (`diffusers:…`), and pipeline objects.

`source` finds and opens one, `table` says of each class what asks its network, `schedulers` how its scheduler adds
noise, `spaces` what its latents are, `model` is the provider.
"""
