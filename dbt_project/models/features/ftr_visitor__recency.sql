{{ visitor_recency() }}
