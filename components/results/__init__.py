"""Results: statistics, published scores, and the look of charts, tables and pages."""
