{{ visitor_activity('24h') }}
