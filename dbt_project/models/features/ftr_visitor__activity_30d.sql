{{ visitor_activity('30d') }}
