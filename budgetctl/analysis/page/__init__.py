"""One self-contained HTML page that holds a study's answer."""
