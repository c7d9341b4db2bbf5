"""Pages on which a center looks at its own cases; they show images of patients and stay there."""
