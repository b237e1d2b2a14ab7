"""Where the data that come with Lowtide or with torchvision are found, fetched, read and checked."""
