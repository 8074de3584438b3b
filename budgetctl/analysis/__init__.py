"""Tables, pictures, the allocation model and the page: what the cells of a study say."""
