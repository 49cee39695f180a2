"""Words of a text: where they begin and end, their singular, and which objects they name. No torch."""
