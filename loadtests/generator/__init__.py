"""One load process: users, their HTTP clients, and the recorder of what they did."""
