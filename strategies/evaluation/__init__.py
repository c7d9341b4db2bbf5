"""What the scores of a study say: matrix, fairness, intervals, paired tests."""
