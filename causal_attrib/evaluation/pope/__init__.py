"""POPE and other yes/no questions."""
