"""Pictures made worse step by step: what becomes of accuracy and confidence."""
