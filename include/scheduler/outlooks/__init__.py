"""What is known of the hours to come and of the days before, and how far such knowledge was right."""
