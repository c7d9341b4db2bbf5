"""What a person should be told of a study without looking: each event once, by webhook and e-mail, with its remedy."""
