"""The catalogue of bad input, as far as it comes from the catalog: 1 to 64."""

from tests.bad_inputs import endpoints, names, words

CASES = [*names.CASES, *endpoints.CASES, *words.CASES]
