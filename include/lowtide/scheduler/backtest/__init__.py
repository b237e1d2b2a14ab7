"""What a policy would have saved on a grid's past: the same decide(), look by look, against perfect knowledge."""
