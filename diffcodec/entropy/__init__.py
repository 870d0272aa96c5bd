"""Symbols <-> bits: the ANS stack, integer tables, logistic mixtures, the adaptive context coder. Knows no torch."""
