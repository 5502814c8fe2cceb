{{ visitor_activity('5m') }}
