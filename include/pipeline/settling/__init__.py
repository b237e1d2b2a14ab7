"""Books runs again when the grid's actual figures have arrived, and renews the reports that rest on them."""
