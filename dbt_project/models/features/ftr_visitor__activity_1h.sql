{{ visitor_activity('1h') }}
