{{ visitor_cart() }}
