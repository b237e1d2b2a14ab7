"""The one way to the network, its bounds, and the request that many waits share."""
