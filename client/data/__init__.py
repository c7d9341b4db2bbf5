"""Images and cases: reading, checking, splitting, preprocessing, phantoms."""
