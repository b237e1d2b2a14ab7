"""The report in words: terminal, task log and Markdown; all that the three share."""
