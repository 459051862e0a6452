"""Finding the mail server of an e-mail address: providers known by name, DNS, autoconfig documents, usual names."""
