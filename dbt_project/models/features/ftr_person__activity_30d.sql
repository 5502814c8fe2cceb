{{ of_persons(visitor_activity('30d', 'facts_of_persons')) }}
