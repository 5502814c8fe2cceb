{{ of_persons(visitor_recent('facts_of_persons')) }}
