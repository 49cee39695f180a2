"""What comes from outside and what is put back there: pictures, rows, files in place, journals. No torch."""
