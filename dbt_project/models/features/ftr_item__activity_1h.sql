{{ item_activity('1h', tile_minutes=var('item_tile_minutes_1h')) }}
