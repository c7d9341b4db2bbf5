"""How a study is started, watched, stopped and kept running over Flower's Control API."""
