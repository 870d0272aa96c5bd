"""The rate–distortion suite behind `diffcodec bench`: codecs on a folder, real bytes, metrics, a report."""
