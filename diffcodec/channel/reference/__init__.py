"""Channel coders whose laws are proven; `channel.trellis` is measured against them."""
