"""`make demo`: real servers, the operator, the examples, and proof that it works."""
