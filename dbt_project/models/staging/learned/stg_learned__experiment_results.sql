with

final as (

    select *
    from {{ landed_rows(
        source('learned', 'experiment_results'),
        'models/experiment_results/experiment_results.parquet',
        {
            'experiment_key': 'varchar',
            'metric_name': 'varchar',
            'metric_kind': 'varchar',
            'variant_key': 'varchar',
            'control_variant_key': 'varchar',
            'unit_count': 'bigint',
            'control_unit_count': 'bigint',
            'variant_mean': 'double',
            'control_mean': 'double',
            'estimate': 'double',
            'ci_low': 'double',
            'ci_high': 'double',
            'confidence_level': 'double',
            'p_value': 'double',
            'relative_lift': 'double',
            'relative_ci_low': 'double',
            'relative_ci_high': 'double',
            'srm_p_value': 'double',
            'has_srm_alarm': 'boolean',
            'method': 'varchar',
            'verdict': 'varchar',
            'role': 'varchar',
            'adjusted_p_value': 'double',
            'variance_removed': 'double',
            'guardrail_status': 'varchar',
            'horizon': 'varchar',
            'decision': 'varchar',
            'conclusion': 'varchar',
        }
    ) }}

)

select * from final
