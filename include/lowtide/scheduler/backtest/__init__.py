"""What a policy would have saved on a grid's past: the same decide(), check by check, against perfect foresight."""
