"""Stock recurrences, and beside some of them how they take weights from other frameworks."""
