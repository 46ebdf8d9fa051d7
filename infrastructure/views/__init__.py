"""Published views in SQL: their generations, bulk writes, publication and queries."""
