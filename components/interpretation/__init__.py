"""What happens inside the larger model, and what growth added to it."""
