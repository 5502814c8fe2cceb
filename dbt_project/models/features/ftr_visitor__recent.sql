{{ visitor_recent() }}
