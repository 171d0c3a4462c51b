"""The screens, subject by subject. Each module adds its routes to the application and shows its templates."""
