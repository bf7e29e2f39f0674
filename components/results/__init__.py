"""Results: statistics, published scores, and how charts, tables and pages look."""
