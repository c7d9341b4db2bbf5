"""What the pages of coordinator, center and comparison share: number formats and an HTML skeleton."""
